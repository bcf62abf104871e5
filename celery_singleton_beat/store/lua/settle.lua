-- settle: end holds; each by the fence that took it.
-- Twin: protocol/claim.settle.
-- KEYS 1 meta, 2 due, 3 held, 4 slots
-- ARGV 6 digest, 7 settlements, each {entry, fence, slot ms, due ms,
--   "failures|runs|last ms|rule"}, all of them texts
-- Answer: {epoch, verdict …}
expect({KEYS[2], KEYS[3]}, {KEYS[4]})
local governs = redis.call('HGET', KEYS[1], 'adopted') == ARGV[6]
local settlements = ARGV[7]
local answer, names = {epoch}, {}
for i, told in ipairs(settlements) do names[i] = told[1] end

local texts = redis.call('HMGET', KEYS[4], unpack(names))
local moved, records, scores = {}, {}, {}
for i, told in ipairs(settlements) do
  local slot = split(texts[i], 8)
  if not slot then
    answer[i + 1] = 'GONE'
  elseif slot[3] ~= told[2] then
    answer[i + 1] = 'LOST'
  else
    answer[i + 1] = governs and 'CONFIRMED' or 'STALE'
    if slot[4] ~= '0' then
      local due = told[4]
      if not governs and due ~= '-1' then due = int(now) end
      moved[#moved + 1] = told[1]
      records[#records + 1] = told[1]
      records[#records + 1] = join(told[3], due, slot[3], '0', told[5])
      if due ~= '-1' then
        scores[#scores + 1] = due
        scores[#scores + 1] = told[1]
      end
    end
  end
end
if #moved > 0 then
  redis.call('HSET', KEYS[4], unpack(records))
  redis.call('ZREM', KEYS[3], unpack(moved))
  redis.call('ZREM', KEYS[2], unpack(moved))
  if #scores > 0 then redis.call('ZADD', KEYS[2], unpack(scores)) end
end
return cjson.encode(answer)
