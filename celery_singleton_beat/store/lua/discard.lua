-- discard: close the record of a run whose message will not be executed.
-- Twin: protocol/lease.discard, driven by MemoryRuns.discard.
-- KEYS 1 meta, 2 run, 3 awaited, 4 published, 5 progress, 6 history, 7 crashable, 8 messages,
--   9 locks, 10 lock
-- ARGV 6 attempt, 7 holder, 8 window ms, 9 not after ms, 10 owner, 11 run, 12 entry,
--   13 scheduled ms, 14 awaited (0/1), 15 history limit, 16 reason, 17 lock key's name,
--   18 at least ms, 19 ttl ms
-- Answer: {epoch}
local attempt, window, not_after = tonumber(ARGV[6]), tonumber(ARGV[8]), tonumber(ARGV[9])
if ARGV[14] == '1' then arrived(KEYS[3], KEYS[4], KEYS[5], ARGV[11], ARGV[12], ARGV[13]) end

-- In a store that forgot, those who live come back first.
local waits = meta[5] == '1' and tonumber(meta[4]) + tonumber(ARGV[19]) > now
local run = read_run(KEYS[2])

local function is_alive()
  return run[1] == 'open' and run[5] > 0 and notice_left(run, 5, 9, function() write_run(KEYS[2], run) end) > 0
end

if not waits and (not run or (run[1] ~= 'done' and attempt >= run[2] and not is_alive())) then
  if run then
    let_go(KEYS[10], KEYS[9], ARGV[17], run[3], 'discarded', tonumber(ARGV[18]), 0)
  end
  write_run(KEYS[2], {'done', attempt, ARGV[7], 0, 0, kept_after(not_after, window),
                      run and run[7] or 0, 'discarded', 0})
  tell(KEYS[6], ARGV[15], 'discarded', ARGV[12], ARGV[13], ARGV[11], ARGV[6], ARGV[10], ARGV[16])
  redis.call('ZREM', KEYS[7], ARGV[11])
  redis.call('HDEL', KEYS[8], ARGV[11])
end
return cjson.encode({epoch})
