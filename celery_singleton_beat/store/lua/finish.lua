-- finish: record how attempts ended, and free their keys; only their holders may.
-- Twin: protocol/lease.finish, protocol/history.of_finish.
-- KEYS 1 meta, 2 locks, 3 crashable, 4 messages, 5 history, then per ending: run, lock
-- ARGV 6 history limits, then per ending: the attempt (lease), outcome, wait ms
-- Answer: {epoch, verdict …}
local answer = {epoch}
get = redis.pcall
for i = 1, (#KEYS - 5) / 2 do
  local at, run_key, lock_key = 14 * i - 7, KEYS[2 * i + 4], KEYS[2 * i + 5]
  local attempt, id = tonumber(ARGV[at + 1]), ARGV[at + 7]
  local window, not_after = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local outcome, wait, ttl = ARGV[at + 12], tonumber(ARGV[at + 13]), tonumber(ARGV[at + 3])
  local run, lock = read_run(run_key), read_lock(lock_key)
  local ran = lock and lock[1] == ARGV[at + 2] and int(math.max(now - lock[4], 0)) or ''
  local verdict = 'RECORDED'
  local function free(ended)
    let_go(lock_key, KEYS[2], ARGV[at], ARGV[at + 2], ended, tonumber(ARGV[at + 10]),
           ARGV[at + 11] == '1' and wait + ttl or 0)
  end
  if not run or run[3] ~= ARGV[at + 2] then
    verdict = 'LOST'
    free(nil)
  elseif run[1] == 'done' then
    free(run[8])
  else
    free(outcome)
    if run[8] ~= outcome then
      tell(KEYS[5], ARGV[6], outcome, ARGV[at + 8], ARGV[at + 9], id, ARGV[at + 1],
           ARGV[at + 6], ran, ARGV[at])
    end
    run[5], run[8], run[9] = 0, outcome, 0
    if outcome == 'retrying' then
      run[1], run[2], run[5] = 'waiting', attempt + 1, now + wait + ttl
      run[6] = kept_open(not_after, run[5], window)
    elseif outcome == 'interrupted' then
      run[1], run[2] = 'open', attempt
    else
      run[1], run[6] = 'done', kept_after(not_after, window)
    end
    write_run(run_key, run)
  end
  if verdict == 'RECORDED' then
    if run[8] == 'interrupted' then
      redis.call('ZADD', KEYS[3], 'XX', int(now + NOTICE), id)
    elseif run[8] == 'retrying' then
      redis.call('ZADD', KEYS[3], 'XX', int(run[5] + NOTICE), id)
    else
      redis.call('ZREM', KEYS[3], id)
      redis.call('HDEL', KEYS[4], id)
    end
  end
  answer[#answer + 1] = verdict
end
return cjson.encode(answer)
