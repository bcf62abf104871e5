-- put: store definitions, each for itself.
-- Twins: protocol/stored.refusal, stored.put; MemoryTimetable.put.
-- ARGV 6 channel, 7 default max entries, 8 default min interval ms, 9 puts, each {entry,
--   definition, rule, slot ms, due ms, tenant, source, enabled (0/1), gap ms, revision that
--   must be there ('' = any), by, mark, reckoned from ms, last ms elsewhere ('' = is of no
--   other scheduler)}, all of them texts
-- Answer: {epoch, verdict, revision, limit, verdict …}
local answer, any = {epoch}, false

local function limit_met(asked, card)
  if asked[6] == '' then return nil end
  local tenant = tenant_of(asked[6])
  local own, gap = tenant[6] == 1, tonumber(asked[9])
  local least = own and tenant[8] or tonumber(ARGV[8])
  if asked[8] == '1' and gap > 0 and gap < least then return 'TOO_OFTEN', least end
  local most = own and tenant[7] or tonumber(ARGV[7])
  local is_new = not card or card[6] ~= asked[6]
  if is_new and most >= 0 and tenant[1] >= most then return 'TOO_MANY', most end
end

local function refusal(asked, card)
  if card and asked[12] ~= '0' and card[7] ~= asked[7] then return 'FOREIGN', 0 end
  if card and card[10] == asked[2] and card[7] == asked[7] and card[6] == asked[6]
     and int(card[4]) == asked[8] then
    return 'UNCHANGED', 0
  end
  if asked[10] ~= '' and tonumber(asked[10]) ~= (card and card[1] or 0) then
    return 'CONFLICT', 0
  end
  return limit_met(asked, card)
end

local function first_slot(asked)
  local slot_ms, due_ms, from_ms = tonumber(asked[4]), tonumber(asked[5]), tonumber(asked[13])
  if asked[14] ~= '' then
    return {slot_ms, due_ms, 0, 0, 0, 0, tonumber(asked[14]), asked[3]}
  end
  if from_ms <= now and (slot_ms == -1 or (slot_ms > now and due_ms > now)) then
    return {slot_ms, due_ms, 0, 0, 0, 0, -1, asked[3]}
  end
  return {-1, now, 0, 0, 0, 0, -1, ''}
end

local function leave_old(entry, card, asked)
  if card[6] ~= asked[6] then
    index_of_tenant(card[6], 'ZREM', entry)
    tenant_of(card[6])[1] = tenant_of(card[6])[1] - 1
    save_tenant(card[6])
    touched[card[6]] = true
  end
  if card[7] ~= '' and card[7] ~= asked[7] then redis.call('ZREM', SOURCE .. card[7], entry) end
end

-- Since when an entry goes on: who leaves a tenant was stopped with it.
local function resumed(asked, card)
  local left = card[6] ~= asked[6] and tenant_of(card[6])
  local is_back = asked[8] == '1' and card[4] == 0
  if is_back or (left and left[2] == 1) then return now end
  return math.max(card[3], left and left[3] or 0)
end

local function write(asked, card)
  local entry, enabled = asked[1], tonumber(asked[8])
  local new = {next_revision(), now, 0, enabled, 0, asked[6], asked[7], asked[11], '', asked[2]}
  if card then new[3] = resumed(asked, card) end
  if not card or card[6] ~= asked[6] then
    tenant_of(asked[6])[1] = tenant_of(asked[6])[1] + 1
    save_tenant(asked[6])
  end
  if card then leave_old(entry, card, asked) end
  local slot
  if card then
    slot = slot_of(entry, redis.call('HGET', STORED, entry))
    new[5], new[9] = card[5], card[9]
    if slot[4] == 0 and (slot[2] < 0 or slot[8] ~= asked[3]) then slot[2] = now end
  else
    slot = first_slot(asked)
  end
  redis.call('HSET', CARDS, entry, card_text(new))
  redis.call('HSET', STORED, entry, slot_text(slot))
  look_at(entry, new, slot)
  any = true
  return int(revision)
end

-- What is put outside of a reconciliation counts as put in the one that is going on.
local function mark(asked, card)
  local key, given = SOURCE .. asked[7], tonumber(asked[12])
  if given == 0 then given = revision end
  local before = tonumber(redis.call('ZSCORE', key, asked[1]) or '')
  if card and card[7] == asked[7] and not before then start_sweep() end
  redis.call('ZADD', key, int(math.max(given, before or 0)), asked[1])
end

for i, asked in ipairs(ARGV[9]) do
  local text = redis.call('HGET', CARDS, asked[1])
  local card = read_card(text)
  if text and not card then redis.call('HSET', ASIDE, asked[1], text) end
  local verdict, limit = refusal(asked, card)
  local at = card and int(card[1]) or '0'
  if not verdict then
    at, verdict, limit = write(asked, card), card and 'CHANGED' or 'ADDED', 0
  elseif verdict == 'UNCHANGED' then
    mend(asked[1], card)
  end
  local is_there = verdict == 'ADDED' or verdict == 'CHANGED' or verdict == 'UNCHANGED'
  if asked[7] ~= '' and is_there then mark(asked, card) end
  answer[#answer + 1] = verdict
  answer[#answer + 1] = at
  answer[#answer + 1] = int(limit)
end
give_turns()
if any then changed(ARGV[6]) end
return cjson.encode(answer)
