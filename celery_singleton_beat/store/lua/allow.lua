-- allow: give a tenant a quota of its own, or the default again.
-- ARGV 6 tenant, 7 whether it has its own (0/1), 8 max entries, 9 min interval ms,
--   10 max per minute
-- Answer: {epoch}
local tenant = tenant_of(ARGV[6])
for i = 6, 9 do tenant[i] = tonumber(ARGV[i + 1]) end
save_tenant(ARGV[6])
touched[ARGV[6]] = true
give_turns()
return cjson.encode({epoch})
