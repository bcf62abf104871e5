-- unmarked: name entries of a source that were last put with a lower mark.
-- ARGV 6 source, 7 mark, 8 limit
-- Answer: {epoch, entry …}
local found = redis.call('ZRANGEBYSCORE', SOURCE .. ARGV[6], '-inf', '(' .. ARGV[7],
                         'LIMIT', 0, ARGV[8])
return cjson.encode({epoch, unpack(found)})
