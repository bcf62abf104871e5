-- Whole: put in front of every script that runs in a cluster.
-- While a cluster moves our slot from node to node, key by key, a script whose declared keys were
-- all still here would run, and break off in the middle where it met a key that had gone, or one
-- that it had removed itself. A cluster lets no script begin there that declares a key which
-- does not exist: so each declares one that never does, and the scripts know nothing of it.
-- KEYS[1] never
table.remove(KEYS, 1)
