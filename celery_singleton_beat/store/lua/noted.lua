-- Noted: put behind the prelude of a script where replicas are waited for.
-- WAIT waits for what was written on this connection. A repeat writes nothing, and what an answer
-- rests on was written by others. A note behind all of it makes it wait for all of it.
redis.call('HSET', KEYS[1], 'noted', int(now))
