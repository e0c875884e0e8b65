-- Which runs are the best?
SELECT name, learning_rate, seed, final_loss, test_accuracy
FROM runs
WHERE status = 'completed'
ORDER BY final_loss, id
LIMIT 5;

-- Which run is the best for each learning rate?
SELECT learning_rate, name, seed, final_loss, test_accuracy
FROM (
    SELECT learning_rate, name, seed, final_loss, test_accuracy,
           row_number() OVER (PARTITION BY learning_rate ORDER BY final_loss, id) AS place
    FROM runs
    WHERE status = 'completed'
) AS ranked
WHERE place = 1
ORDER BY learning_rate;

-- How much does the seed matter?
SELECT learning_rate, count(*) AS runs,
       min(final_loss) AS lowest, avg(final_loss) AS mean, max(final_loss) AS highest
FROM runs
WHERE status = 'completed'
GROUP BY learning_rate
ORDER BY learning_rate;

-- How much does an option of a network matter?
SELECT o.value AS hidden, count(*) AS runs, min(r.final_loss) AS lowest, avg(r.test_accuracy) AS mean_accuracy
FROM options AS o
JOIN runs AS r ON r.id = o.run_id
WHERE o.name = 'hidden' AND r.status = 'completed'
GROUP BY o.value
ORDER BY lowest
LIMIT 10;

-- Which runs have a tag?
SELECT r.id, r.name, r.status, r.final_loss, r.note
FROM tags AS t
JOIN runs AS r ON r.id = t.run_id
WHERE t.key = 'study' AND t.value = 'rates'
ORDER BY r.id DESC
LIMIT 5;

-- Which runs failed, and why?
SELECT name, completed_iterations, final_loss, reason
FROM runs
WHERE status = 'failed'
ORDER BY created_at DESC
LIMIT 10;

-- What waits in the queue, the next one first?
SELECT name, priority, created_at, iterations - completed_iterations AS left_to_do, note
FROM runs
WHERE status = 'queued'
ORDER BY priority DESC, created_at
LIMIT 10;

-- What ran when?
SELECT name, status, started_at, ended_at, seconds
FROM runs
WHERE started_at IS NOT NULL
ORDER BY started_at DESC
LIMIT 5;

-- How many runs were there each day?
SELECT substr(CAST(created_at AS text), 1, 10) AS day, count(*) AS runs,
       sum(CASE WHEN status = 'completed' THEN 1 ELSE 0 END) AS completed,
       sum(completed_iterations) AS iterations
FROM runs
GROUP BY substr(CAST(created_at AS text), 1, 10)
ORDER BY day DESC
LIMIT 7;

-- How did the loss fall, every tenth iteration?
SELECT iteration, loss, accuracy, gradient_norm
FROM iterations
WHERE run_id = '20261123-230231520-a81342' AND iteration % 10 = 0
ORDER BY iteration;

-- When was the loss below 12 for the first time?
SELECT r.name, r.learning_rate, r.seed, (
    SELECT min(i.iteration) FROM iterations AS i WHERE i.run_id = r.id AND i.loss < 12
) AS first_below
FROM runs AS r
ORDER BY r.created_at DESC, r.id DESC
LIMIT 10;

-- How do two runs compare?
SELECT a.iteration, a.loss AS loss_a, b.loss AS loss_b, b.loss - a.loss AS difference,
       CASE WHEN a.parameters_digest = b.parameters_digest THEN 'same bits' ELSE 'differ' END AS bits
FROM iterations AS a
JOIN iterations AS b ON b.iteration = a.iteration
WHERE a.run_id = '20261123-230234491-1f6a12' AND b.run_id = '20261123-230234491-79a734' AND a.iteration % 10 = 9
ORDER BY a.iteration;

-- Which evaluation was the best of each run?
SELECT r.name, best.completed_iterations, best.accuracy, best.loss, best.images
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY run_id ORDER BY accuracy DESC, loss, completed_iterations
    ) AS place
    FROM evaluations
    WHERE accuracy IS NOT NULL
) AS best
JOIN runs AS r ON r.id = best.run_id
WHERE best.place = 1
ORDER BY best.accuracy DESC, best.loss, r.id
LIMIT 10;

-- Which images were the hardest, over the whole run?
WITH seen AS MATERIALIZED (
    SELECT image, label, loss FROM images WHERE run_id = '20261123-230239527-56326c'
)
SELECT image, label, avg(loss) AS mean_loss, min(loss) AS lowest, max(loss) AS highest
FROM seen
GROUP BY image, label
ORDER BY mean_loss DESC, image
LIMIT 5;

-- Which are the hardest now, and what are they taken for?
SELECT image, label, predicted, loss, gradient_norm
FROM images
WHERE run_id = '20261123-230239527-56326c' AND iteration = 119
ORDER BY loss DESC, image
LIMIT 5;

-- Which classes are confused the most?
SELECT label, predicted, count(*) AS images
FROM images
WHERE run_id = '20261123-230239527-56326c' AND iteration = 119 AND predicted <> label
GROUP BY label, predicted
ORDER BY count(*) DESC, label, predicted
LIMIT 5;

-- Which images got worse between two iterations?
SELECT b.image, b.label, a.predicted AS was, b.predicted AS became,
       a.loss AS loss_before, b.loss AS loss_after
FROM images AS a
JOIN images AS b ON b.run_id = a.run_id AND b.image = a.image
WHERE a.run_id = '20261123-230239527-56326c' AND a.iteration = 98 AND b.iteration = 99 AND b.loss > a.loss
ORDER BY b.loss - a.loss DESC, b.image
LIMIT 5;

-- How often was each class right, as the run went on?
WITH seen AS MATERIALIZED (
    SELECT iteration, label, predicted
    FROM images
    WHERE run_id = '20261123-230239527-56326c' AND iteration IN (0, 59, 119)
)
SELECT label,
       avg(CASE WHEN iteration = 0 THEN CASE WHEN predicted = label THEN 1.0 ELSE 0.0 END END) AS at_first,
       avg(CASE WHEN iteration = 59 THEN CASE WHEN predicted = label THEN 1.0 ELSE 0.0 END END) AS halfway,
       avg(CASE WHEN iteration = 119 THEN CASE WHEN predicted = label THEN 1.0 ELSE 0.0 END END) AS at_last
FROM seen
GROUP BY label
ORDER BY label;

-- Which worker computed how much of a run?
SELECT worker, images, answers, seconds, images_per_second, first_at, last_at
FROM workers
WHERE run_id = '20261123-230239527-56326c'
ORDER BY images DESC, worker;

-- How fast is each worker, over all runs?
SELECT worker, count(*) AS runs, sum(images) AS images, sum(seconds) AS seconds,
       sum(images) / sum(seconds) AS images_per_second
FROM workers
GROUP BY worker
ORDER BY images_per_second DESC, worker
LIMIT 10;

-- Who computed the eighth image, and at which attempt?
SELECT worker, attempt, count(*) AS iterations, min(iteration) AS first, max(iteration) AS last
FROM ledger
WHERE run_id = '20261123-230239527-56326c' AND first_image <= 7 AND first_image + image_count > 7
GROUP BY worker, attempt
ORDER BY iterations DESC, worker, attempt;

-- Which iterations were the slowest, and why?
WITH timed AS (
    SELECT run_id, iteration, seconds, shards, attempts, workers, started_at,
           lead(started_at) OVER (ORDER BY iteration) AS next_at
    FROM iterations
    WHERE run_id = '20261123-230239527-56326c'
),
slowest AS (
    SELECT * FROM timed ORDER BY seconds DESC, iteration LIMIT 4
)
SELECT s.iteration, s.seconds, s.shards, s.attempts, s.workers, e.kind, e.message
FROM slowest AS s
LEFT JOIN events AS e
    ON e.run_id = s.run_id AND e.at >= s.started_at AND (e.at < s.next_at OR s.next_at IS NULL)
ORDER BY s.seconds DESC, s.iteration, e.at;

-- What part of the time did workers compute?
WITH computed AS (
    SELECT DISTINCT iteration, shard, attempt, worker, seconds
    FROM ledger
    WHERE run_id = '20261123-230239527-56326c'
),
summed AS (
    SELECT iteration, sum(seconds) AS computing FROM computed GROUP BY iteration
)
SELECT i.iteration, i.seconds, i.workers, s.computing, s.computing / (i.seconds * i.workers) AS part
FROM iterations AS i
JOIN summed AS s ON s.iteration = i.iteration
WHERE i.run_id = '20261123-230239527-56326c'
ORDER BY i.seconds DESC, i.iteration
LIMIT 4;

-- What happened to a run?
SELECT at, kind, message
FROM events
WHERE run_id = '20261123-230239527-56326c'
ORDER BY at;

-- Which images were not counted exactly once?
WITH counted AS MATERIALIZED (
    SELECT iteration, first_image, image_count
    FROM ledger
    WHERE run_id = '20261123-230239527-56326c'
)
SELECT m.iteration, m.place, m.image, count(c.iteration) AS times
FROM images AS m
LEFT JOIN counted AS c
    ON c.iteration = m.iteration
    AND m.place >= c.first_image AND m.place < c.first_image + c.image_count
WHERE m.run_id = '20261123-230239527-56326c'
GROUP BY m.iteration, m.place, m.image
HAVING count(c.iteration) <> 1
ORDER BY m.iteration, m.place;

-- Which runs have the same parameters, bit for bit?
SELECT parameters_digest, count(*) AS runs, min(name) AS one, max(name) AS another
FROM runs
WHERE status = 'completed'
GROUP BY parameters_digest
HAVING count(*) > 1
ORDER BY runs DESC, parameters_digest;

-- Which runs take the most room?
SELECT r.name, r.completed_iterations, count(*) AS checkpoints, sum(c.bytes) AS bytes
FROM (SELECT id, name, completed_iterations FROM runs ORDER BY created_at DESC LIMIT 10) AS r
JOIN checkpoints AS c ON c.run_id = r.id
GROUP BY r.id, r.name, r.completed_iterations
ORDER BY sum(c.bytes) DESC, r.id
LIMIT 5;
