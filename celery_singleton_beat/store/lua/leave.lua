-- leave: forget a replica that stops.
-- Twin: protocol/fleet.leave.
-- KEYS 1 meta, 2 replicas, 3 last
-- ARGV 6 replica
-- Answer: {epoch}
redis.call('HDEL', KEYS[2], ARGV[6])
redis.call('DEL', KEYS[3])
return cjson.encode({epoch})
