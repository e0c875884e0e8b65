-- For every iteration of every run: how often each of its images was counted, and by whom.
-- Exactly once is: fewest_times = 1 and most_times = 1. Runs on SQLite and on PostgreSQL.
WITH RECURSIVE places(place) AS (  -- 0, 1, 2, ... : the places of an image set
    SELECT 0
    UNION ALL
    SELECT place + 1 FROM places WHERE place + 1 < (SELECT max(images) FROM iterations)
),
counted AS (  -- one row per image of each iteration
    SELECT i.run_id, i.iteration, places.place, count(l.first_image) AS times
    FROM iterations i
    JOIN places ON places.place < i.images
    LEFT JOIN ledger l
        ON l.run_id = i.run_id AND l.iteration = i.iteration
        AND places.place >= l.first_image AND places.place < l.first_image + l.image_count
    GROUP BY i.run_id, i.iteration, places.place
),
verdict AS (
    SELECT run_id, iteration, count(*) AS images,
           min(times) AS fewest_times, max(times) AS most_times
    FROM counted
    GROUP BY run_id, iteration
)
SELECT v.run_id, v.iteration, v.images, v.fewest_times, v.most_times,
       l.worker, l.attempt, sum(l.image_count) AS of_this_worker
FROM verdict v
LEFT JOIN ledger l ON l.run_id = v.run_id AND l.iteration = v.iteration
GROUP BY v.run_id, v.iteration, v.images, v.fewest_times, v.most_times, l.worker, l.attempt
ORDER BY v.run_id, v.iteration, l.worker, l.attempt;
