-- For every iteration of every run: how often each of its images was counted, and by whom.
-- Exactly once is: fewest_times = 1 and most_times = 1. Runs on SQLite and on PostgreSQL.
WITH changes AS (  -- of the number of times counted, from one place of the image set to the next
    SELECT run_id, iteration, 0 AS place, 0 AS change FROM iterations
    UNION ALL
    SELECT run_id, iteration, first_image, 1 FROM ledger
    UNION ALL
    SELECT run_id, iteration, first_image + image_count, -1 FROM ledger
),
places AS (
    SELECT run_id, iteration, place, CAST(sum(change) AS integer) AS change
    FROM changes
    GROUP BY run_id, iteration, place
),
stretches AS (  -- each reaches to the place of the next one
    SELECT run_id, iteration, place,
           sum(change) OVER (PARTITION BY run_id, iteration ORDER BY place) AS times
    FROM places
),
verdict AS (
    SELECT i.run_id, i.iteration, i.images, min(s.times) AS fewest_times, max(s.times) AS most_times
    FROM iterations i
    JOIN stretches s ON s.run_id = i.run_id AND s.iteration = i.iteration
    WHERE s.place >= 0 AND s.place < i.images
    GROUP BY i.run_id, i.iteration, i.images
)
SELECT v.run_id, v.iteration, v.images, v.fewest_times, v.most_times,
       l.worker, l.attempt, sum(l.image_count) AS of_this_worker
FROM verdict v
LEFT JOIN ledger l ON l.run_id = v.run_id AND l.iteration = v.iteration
GROUP BY v.run_id, v.iteration, v.images, v.fewest_times, v.most_times, l.worker, l.attempt
ORDER BY v.run_id, v.iteration, l.worker, l.attempt;
