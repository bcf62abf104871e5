-- unlock: free a key, whoever holds it.
-- Twin: MemoryRuns.unlock.
-- KEYS 1 meta, 2 locks, 3 lock, 4 history
-- ARGV 6 lock key's name, 7 by, 8 history limits
-- Answer: {epoch, held (0/1)}
local lock = read_lock(KEYS[3])
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[6])
if lock then tell(KEYS[4], ARGV[8], 'unlocked', '', '0', '', '0', ARGV[7], ARGV[6], ARGV[6]) end
return cjson.encode({epoch, lock and 1 or 0})
