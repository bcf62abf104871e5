-- cancel: refuse what was queued by earlier revisions of an entry, and await none of that any more.
-- KEYS 1 meta, 2 cancelled, 3 awaited, 4 published
-- ARGV 6 revision, 7 for how long (ms), 8 entry
-- Answer: {epoch}
expect({KEYS[3]}, {KEYS[4]})
local least = math.max(counter(redis.call('GET', KEYS[2])), tonumber(ARGV[6]))
redis.call('SET', KEYS[2], int(least), 'PX', ARGV[7])

local cursor = '0'
repeat
  local page = redis.call('HSCAN', KEYS[4], cursor, 'COUNT', 200)
  for i = 1, #page[2], 2 do
    local run, fields = page[2][i], split(page[2][i + 1], 7)
    if fields and fields[7] == ARGV[8] and (whole(fields[6]) or 0) < least then
      redis.call('ZREM', KEYS[3], run)
      redis.call('HDEL', KEYS[4], run)
    end
  end
  cursor = page[1]
until cursor == '0'
return cjson.encode({epoch})
