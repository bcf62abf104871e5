-- settle: end holds; each by the fence that took it.
-- Twin: protocol/claim.settle.
-- KEYS 1 meta, 2 due, 3 held, 4 slots, 5 awaited, 6 published, 7 progress, 8 history,
--   9 queued, 10… run of everything awaited, in order
-- ARGV 6 digest, 7 settlements, each {entry, fence, slot ms, due ms,
--   "failures|runs|last ms|rule", awaited, told, revision, queued}; awaited is '' or {run, deadline ms,
--   scheduled ms, record, run, …}, told is '' or {kind, scheduled ms, run, by, note, kind, …},
--   queued is '' or {run, for ms, run, …}, all of them texts; 8 history limits
-- Answer: {epoch, verdict …}
expect({KEYS[2], KEYS[3], KEYS[5], KEYS[9]}, {KEYS[4], KEYS[6], KEYS[7]})

local governs = redis.call('HGET', KEYS[1], 'adopted') == ARGV[6]
local settlements = ARGV[7]
local answer, names = {epoch}, {}
for i, told in ipairs(settlements) do names[i] = told[1] end

local texts = redis.call('HMGET', KEYS[4], unpack(names))
local moved, records, scores = {}, {}, {}
for i, told in ipairs(settlements) do
  local slot = split(texts[i], 8)
  local is_ours = slot and slot[3] == told[2]
  local moves = is_ours and slot[4] ~= '0'
  if not slot then
    answer[i + 1] = 'GONE'
  elseif not is_ours then
    answer[i + 1] = 'LOST'
  else
    answer[i + 1] = governs and 'CONFIRMED' or 'STALE'
    if moves then
      local due = told[4]
      if not governs then due = int(now) end
      moved[#moved + 1] = told[1]
      records[#records + 1] = told[1]
      records[#records + 1] = join(told[3], due, slot[3], '0', told[5])
      if due ~= '-1' then
        scores[#scores + 1] = due
        scores[#scores + 1] = told[1]
      end
    end
  end
  note_settled(5, told, ARGV[8], moves, is_ours)
end
if #moved > 0 then
  redis.call('HSET', KEYS[4], unpack(records))
  redis.call('ZREM', KEYS[3], unpack(moved))
  redis.call('ZREM', KEYS[2], unpack(moved))
  if #scores > 0 then redis.call('ZADD', KEYS[2], unpack(scores)) end
end
return cjson.encode(answer)
