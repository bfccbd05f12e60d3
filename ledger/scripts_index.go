package ledger

// indexHourBytes is how many bytes of an entry come before the key.
const indexHourBytes = 3

// indexFunc keeps the index, from message ids to keys. An entry of its own, with
// a TTL of its own, would take more memory than all that it says, so ids share
// buckets, by a hash. A bucket's entry is the hour until which it counts, in three
// bytes, and the key as packKey has it.
//
// A message id has two buckets, a coarse one and a finer one that is used once
// the coarse one has enough: so there are few buckets as long as there are few
// messages, and none is long to look through. What is over in them is removed as
// others are added. See indexKeys.
//
// It needs now and ttl.
const indexFunc = `
-- owner reads an entry, which counts for nothing once it is over.
local function owner(entry)
  if not entry then return nil end
  local a, b, c = string.byte(entry, 1, 3)
  if (a * 65536 + b * 256 + c) * 3600000 < now then return nil end
  return string.sub(entry, 4)
end
local function trim(bucket)
  local all = redis.call('HGETALL', bucket)
  for i = 1, #all, 2 do
    if not owner(all[i + 1]) then redis.call('HDEL', bucket, all[i]) end
  end
end
-- overflow is index for a coarse bucket that has enough.
local function overflow(coarse, fine, message, entry)
  local n = redis.call('HLEN', fine)
  -- Each is looked through once in so many additions, so that on average all
  -- additions cost the same.
  if n % 64 == 0 then trim(coarse) end
  if n > 0 and n % 256 == 0 then trim(fine) end
  local was = redis.call('HGET', coarse, message)
  if was then
    redis.call('HSET', coarse, message, entry)
    return coarse, was
  end
  was = redis.call('HGET', fine, message)
  redis.call('HSET', fine, message, entry)
  return fine, was
end
-- index notes whose message this is, and returns whose it was. Where an id is in
-- both buckets, the coarse one counts.
local function index(coarse, fine, message, key)
  local hour = math.ceil((now + ttl) / 3600000)
  local entry = string.char(math.floor(hour / 65536), math.floor(hour / 256) % 256, hour % 256) .. key
  local into, was = coarse, nil
  if redis.call('HLEN', coarse) >= 128 then
    into, was = overflow(coarse, fine, message, entry)
  elseif redis.call('HSETNX', coarse, message, entry) == 0 then
    was = redis.call('HGET', coarse, message)
    redis.call('HSET', coarse, message, entry)
  end
  -- A bucket lives at least as long as its last entry. It is given some more,
  -- so that not every addition has to write it.
  if redis.call('PTTL', into) < ttl then redis.call('PEXPIRE', into, ttl + math.floor(ttl / 64)) end
  return owner(was)
end
`
