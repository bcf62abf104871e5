-- settle: end holds; each by the fence that took it.
-- Twin: protocol/claim.settle.
-- KEYS 1 meta, 2 due, 3 held, 4 slots
-- ARGV 6 digest, 7 count, then per settlement: entry, fence, slot ms, due ms,
--   failures, runs, last ms, rule
-- Answer: {epoch, verdict …}
local governs = redis.call('HGET', KEYS[1], 'adopted') == ARGV[6]
local count = tonumber(ARGV[7])
local answer, names = {epoch}, {}
if count == 0 then return answer end
for i = 1, count do names[i] = ARGV[8 * i] end

local texts = redis.call('HMGET', KEYS[4], unpack(names))
local moved, records, scores = {}, {}, {}
for i, name in ipairs(names) do
  local at = 8 * i
  local slot = split(texts[i], 8)
  if not slot then
    answer[i + 1] = 'GONE'
  elseif slot[3] ~= ARGV[at + 1] then
    answer[i + 1] = 'LOST'
  else
    answer[i + 1] = governs and 'CONFIRMED' or 'STALE'
    if slot[4] ~= '0' then
      local due = ARGV[at + 3]
      if not governs and due ~= '-1' then due = int(now) end
      moved[#moved + 1] = name
      records[#records + 1] = name
      records[#records + 1] = join(ARGV[at + 2], due, slot[3], '0', ARGV[at + 4],
                                   ARGV[at + 5], ARGV[at + 6], ARGV[at + 7])
      if due ~= '-1' then
        scores[#scores + 1] = due
        scores[#scores + 1] = name
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
return answer
