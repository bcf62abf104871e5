-- pause_all: stop all entries of a tenant, or all there are; or let them go on.
-- Twin: MemoryTimetable.pause_all.
-- ARGV 6 channel, 7 paused (0/1), 8 whether it is a tenant's (0/1), 9 tenant
-- Answer: {epoch, whether that is a change (0/1)}
local paused, name = tonumber(ARGV[7]), ARGV[9]
if ARGV[8] == '0' then
  local was = redis.call('HGET', KEYS[1], 'paused') or '0'
  if was == ARGV[7] then return cjson.encode({epoch, 0}) end
  redis.call('HSET', KEYS[1], 'paused', ARGV[7])
  if paused == 0 then redis.call('HSET', KEYS[1], 'resumed', int(now)) end
else
  local tenant = tenant_of(name)
  if tenant[2] == paused then return cjson.encode({epoch, 0}) end
  tenant[2] = paused
  if paused == 0 then tenant[3] = now end
  save_tenant(name)
  touched[name] = true
  give_turns()
end
changed(ARGV[6])
return cjson.encode({epoch, 1})
