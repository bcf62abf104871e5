-- busy: tell which runs are queued, run, or will be run again.
-- Twin: protocol/overlap.is_busy.
-- KEYS 1 meta, 2 queued, 3 messages, 4… run
-- ARGV 6… runs, in the same order
-- Answer: {epoch, 0/1 …}
local NOTICE = 3000
local answer = {epoch}
for i = 6, #ARGV do
  local run = split(redis.pcall('GET', KEYS[i - 2]), 9)
  local is_busy
  if run then
    local is_alive = (whole(run[5]) or 0) + NOTICE > now
    is_busy = run[1] ~= 'done' and (is_alive or redis.call('HGET', KEYS[3], ARGV[i]))
  else
    is_busy = (tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '') or 0) > now
  end
  answer[#answer + 1] = is_busy and 1 or 0
end
return cjson.encode(answer)
