-- alert: open or change an alert, or close it.
-- Twin: MemoryAlerts.alert.
-- KEYS 1 meta, 2 alerts
-- ARGV 6 name, 7 text ('' = close), 8 how many may be open
-- Answer: {epoch, whether it was opened or closed (0/1)}
expect({}, {KEYS[2]})
local before = redis.call('HGET', KEYS[2], ARGV[6])
local news = 0
if ARGV[7] == '' then
  news = redis.call('HDEL', KEYS[2], ARGV[6])
elseif before then
  redis.call('HSET', KEYS[2], ARGV[6], ARGV[7])
else
  local is_open = redis.call('HLEN', KEYS[2])
  if redis.call('HGET', KEYS[2], '') then is_open = is_open - 1 end
  if is_open < tonumber(ARGV[8]) then
    news = redis.call('HSET', KEYS[2], ARGV[6], ARGV[7])
  end
end
return cjson.encode({epoch, news})
