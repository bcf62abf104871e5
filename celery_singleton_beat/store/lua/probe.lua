-- probe: try every command that the scripts use, and tell which are refused. It stands alone.
-- Twin: MemoryStore.server, where nothing is refused.
-- KEYS 1..4 keys of its own: a string, a hash, a sorted set, a stream; gone afterwards
-- ARGV[1] the commands, a JSON array of arrays of words; a word '@2' stands for KEYS[2]
-- Answer: {how many were tried, command, the server's words, …} of those that are refused
local commands = cjson.decode(ARGV[1])
local refused = {#commands}
for _, words in ipairs(commands) do
  for i, word in ipairs(words) do
    local at = string.match(word, '^@(%d)$')
    if at then words[i] = KEYS[tonumber(at)] end
  end
  local answer = redis.pcall(unpack(words))
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = words[1]
    refused[#refused + 1] = answer.err
    if words[1] == 'DEL' then return cjson.encode(refused) end -- what is made could not be undone
  end
end
for _, key in ipairs(KEYS) do redis.pcall('DEL', key) end
return cjson.encode(refused)
