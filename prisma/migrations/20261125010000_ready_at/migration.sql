-- Since when a chunk has been ready: what tells how long the queue lets work wait. Whoever makes a chunk ready sets it anew.
-- It has no index: whoever makes or claims a chunk would pay for it, and a scrape of the metrics reads the chunks once anyway.

-- A default that is the same for all rows writes none of them anew; what was ready before counts from now.
ALTER TABLE task_chunks ADD COLUMN ready_at timestamptz(3) NOT NULL DEFAULT now();
ALTER TABLE task_chunks ALTER COLUMN ready_at SET DEFAULT clock_timestamp();
