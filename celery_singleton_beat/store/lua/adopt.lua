-- adopt: plan entries of the governing configuration, by compare-and-set.
-- Twin: protocol/claim.adopt.
-- KEYS 1 meta, 2 due, 3 held, 4 slots
-- ARGV 6 digest, 7 done (0/1), 8 entries, each {name, the record that was read
--   ('' = none), slot ms, due ms, "failures|runs|last ms|rule"}, all of them texts; 9 the
--   entries that must be in place for it to be done, each followed by its rule
-- Answer: {epoch, verdict …}
expect({KEYS[2], KEYS[3]}, {KEYS[4]})
local digest, entries = ARGV[6], ARGV[8]
local governs = redis.call('HGET', KEYS[1], 'governor') == digest
local answer = {epoch}
for i, told in ipairs(entries) do
  local name, due = told[1], told[4]
  local text = redis.call('HGET', KEYS[4], name) or ''
  local slot = split(text, 8)
  if not governs or text ~= told[2] then
    answer[i + 1] = 'CHANGED'
  elseif slot and (whole(slot[4]) or 0) > now then
    answer[i + 1] = 'HELD'
  else
    answer[i + 1] = 'ADOPTED'
    redis.call('HSET', KEYS[4], name, join(told[3], due, slot and slot[3] or '0', '0', told[5]))
    redis.call('ZREM', KEYS[3], name)
    if due == '-1' then redis.call('ZREM', KEYS[2], name)
    else redis.call('ZADD', KEYS[2], due, name) end
  end
end

-- Twin: protocol/claim.is_in_place.
local function is_in_place(text, rule)
  local slot = split(text, 8)
  if not slot then return false end
  local is_planned = slot[8] == rule and (slot[2] ~= '-1' or slot[1] == '-1')
  return is_planned or (whole(slot[4]) or 0) > now
end

local function are_in_place(told)
  for from = 1, #told, 2000 do
    local names, last = {}, math.min(from + 1999, #told)
    for i = from, last, 2 do names[#names + 1] = told[i] end
    for i, text in ipairs(redis.call('HMGET', KEYS[4], unpack(names))) do
      if not is_in_place(text, told[from + 2 * i - 1]) then return false end
    end
  end
  return true
end

if governs and ARGV[7] == '1' and are_in_place(ARGV[9]) then redis.call('HSET', KEYS[1], 'adopted', digest) end
return cjson.encode(answer)
