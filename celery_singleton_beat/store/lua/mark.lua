-- mark: give a number that is greater than every one before.
-- Answer: {epoch, number}
local mark = next_revision()
redis.call('HSET', KEYS[1], 'revision', int(mark))
return cjson.encode({epoch, int(mark)})
