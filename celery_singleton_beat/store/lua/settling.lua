-- Settling: what is noted of published occurrences, for any kind of entry.
-- Twins: MemorySettling.
-- From KEYS[at]: awaited, published, progress, history, queued, then the run of everything
--   awaited.

-- Wait for the runs of what was published to begin, unless they have already.
local runs_seen = 0
local function await(at, entry, awaited)
  local latest = whole(redis.call('HGET', KEYS[at + 2], 'p:' .. entry)) or 0
  for i = 1, #awaited, 4 do
    runs_seen = runs_seen + 1
    -- Whatever is foreign there is no record of its run, and stops no other's settlement.
    local record = split(redis.pcall('GET', KEYS[at + 4 + runs_seen]), 9)
    if not record or (whole(record[6]) or 0) <= now then
      redis.call('ZADD', KEYS[at], int(now + tonumber(awaited[i + 1])), awaited[i])
      redis.call('HSET', KEYS[at + 1], awaited[i], awaited[i + 3])
    end
    latest = math.max(latest, tonumber(awaited[i + 2]))
  end
  redis.call('HSET', KEYS[at + 2], 'p:' .. entry, int(latest))
end

local function queue(key, queued)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', int(now))
  for i = 1, #queued, 2 do redis.call('ZADD', key, int(now + tonumber(queued[i + 1])), queued[i]) end
end

-- Note what a settlement awaits, queues and tells. What was published is so, whoever has the
-- slot by now; a repeat tells nothing.
local function note_settled(at, asked, limit, moves, is_ours)
  local entry, awaited, told, queued = asked[1], asked[6], asked[7], asked[9]
  if awaited ~= '' then
    if moves then await(at, entry, awaited) else runs_seen = runs_seen + #awaited / 4 end
  end
  if moves and queued ~= '' then queue(KEYS[at + 4], queued) end
  for i = 1, told == '' and 0 or #told, 5 do
    if moves or (not is_ours and told[i] == 'published') then
      tell(KEYS[at + 3], limit, told[i], entry, told[i + 1], told[i + 2], '0', told[i + 3],
           told[i + 4])
    end
  end
end
