-- watch: take or prolong the duty, and read the open alerts.
-- Twin: protocol/duty.py (stand).
-- KEYS 1 meta, 2 alerts
-- ARGV 6 watcher, 7 timeout ms
-- Answer: {epoch, now, who is on duty, name, text …}
expect({}, {KEYS[2]})
local duty = split(redis.call('HGET', KEYS[2], ''), 2)
duty = duty and all_numbers(duty, 1, 1)
local LONGEST = 86400000
if not duty or duty[2] == ARGV[6] or duty[1] <= now or duty[1] > now + LONGEST then
  duty = {now + tonumber(ARGV[7]), ARGV[6]}
  redis.call('HSET', KEYS[2], '', join(int(duty[1]), duty[2]))
end
local answer = {epoch, int(now), duty[2]}
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  if fields[i] ~= '' then
    answer[#answer + 1] = fields[i]
    answer[#answer + 1] = fields[i + 1]
  end
end
return cjson.encode(answer)
