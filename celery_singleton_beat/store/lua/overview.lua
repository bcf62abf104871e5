-- overview: how a deployment stands.
-- Twin: MemoryObserved.overview.
-- KEYS 1 meta, 2 replicas, 3 numbers, 4 due, 5 held, 6 slots, 7 cards, 8 tenants, 9 turns,
--   10 asked, 11 asked:config, 12 locks, 13 awaited, 14 queued, 15 crashable
-- Answer: {epoch, now, app, schema, born ms, reborn (0/1), clock, reported, number, governor or
--   '', adopted or '', paused (0/1), resumed ms, slots, stored entries, locks, tenants, requests,
--   awaited, queued, crashable, when to look at slots, at stored entries and at requests (each
--   '' for never), {replica, record …} or '', {configuration, number …} or ''}
local fleet = redis.call('HMGET', KEYS[1], 'clock', 'reported', 'number', 'governor', 'adopted',
                         'paused', 'resumed')

local function first_of(...)
  local least
  for _, key in ipairs({...}) do
    local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if score and score ~= 'inf' and (not least or tonumber(score) < least) then
      least = tonumber(score)
    end
  end
  return least and int(least) or ''
end

local function after_now(key)
  return redis.call('ZCOUNT', key, '(' .. int(now), '+inf')
end

local function all_of(key)
  local fields = redis.call('HGETALL', key)
  return #fields > 0 and fields or ''
end

return cjson.encode({
  epoch, int(now), meta[1], meta[2], meta[4], meta[5],
  fleet[1] or '0', fleet[2] or '0', fleet[3] or '0', fleet[4] or '', fleet[5] or '',
  fleet[6] or '0', fleet[7] or '0',
  redis.call('HLEN', KEYS[6]), redis.call('HLEN', KEYS[7]), after_now(KEYS[12]),
  redis.call('HLEN', KEYS[8]), redis.call('ZCARD', KEYS[10]) + redis.call('ZCARD', KEYS[11]),
  redis.call('ZCARD', KEYS[13]), after_now(KEYS[14]), redis.call('ZCARD', KEYS[15]),
  first_of(KEYS[4], KEYS[5]), first_of(KEYS[9]), first_of(KEYS[10], KEYS[11]),
  all_of(KEYS[2]), all_of(KEYS[3]),
})
