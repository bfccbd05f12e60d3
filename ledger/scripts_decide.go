package ledger

import "github.com/redis/go-redis/v9"

// holdScript leaves Uncertain for Held.
//
//	ARGV[3] attempts: the number of the attempt that was settled
//	ARGV[4] the task's payload
//
// Result: the state that stands then.
var holdScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'a')
if f[1] ~= 'uncertain' or f[2] ~= ARGV[3] then return f[1] or '' end
redis.call('HSET', record, 'p', ARGV[4])
redis.call('HDEL', record, 'na')
enter('uncertain', 'held')
return 'held'
`)

// cancelScript takes back a message that no attempt is or was under way for.
//
//	ARGV[3..5] as createFunc
//
// Result: the state that stands then.
var cancelScript = redis.NewScript(prelude + createFunc + `
local state = redis.call('HGET', record, 's')
if state and state ~= 'waiting' then return state end
if not state then create() end
redis.call('HDEL', record, 'na')
enter(state, 'cancelled')
return 'cancelled'
`)

// dropScript ends a message that a person has decided not to send.
//
// Result: the state that stands then.
var dropScript = redis.NewScript(prelude + `
local state = redis.call('HGET', record, 's')
if state == 'failed' or state == 'held' or state == 'uncertain' or state == 'expired' or state == 'waiting' then
  redis.call('HDEL', record, 'na')
  enter(state, 'cancelled')
  return 'cancelled'
end
return state or ''
`)

// reopenScript lets a message be sent once more. Every deadline counts anew,
// and one that has expired, or is in doubt, does not expire any more: a person
// has decided to send it late, and what may have been created must not end as
// expired.
//
//	KEYS[11] what is known of its contact, if it has one only
//
// Result: the state that stands then.
var reopenScript = redis.NewScript(prelude + `
local state = redis.call('HGET', record, 's')
if state == 'waiting' then
  redis.call('HSET', record, 'na', int(now))
  if KEYS[11] then redis.call('DEL', KEYS[11]) end
  return state
end
if state ~= 'failed' and state ~= 'held' and state ~= 'uncertain' and state ~= 'expired' and state ~= 'cancelled' then
  return state or ''
end
redis.call('HDEL', record, 'cs', 'ct', 'f', 'fs')
redis.call('HSET', record, 'na', int(now))
-- A person may know that the contact is there.
if KEYS[11] then redis.call('DEL', KEYS[11]) end
if state == 'expired' or state == 'held' or state == 'uncertain' then redis.call('HSET', record, 'nx', '1') end
if redis.call('HEXISTS', record, 'us') == 1 then redis.call('HSET', record, 'pd', '1') end
enter(state, 'waiting')
return 'waiting'
`)

// replyScript records a contact's reply and publishes its event, once for
// each part of a conversation.
//
//	KEYS[11] the stream of events
//	KEYS[12] the parts that were seen, each with the token of the call
//	ARGV[3]  conversation id
//	ARGV[4]  part id
//	ARGV[5]  event as it is if it is the first reply
//	ARGV[6]  event as it is if it is not
//	ARGV[7]  when the contact replied, ms
//	ARGV[8]  token of the call
//
// Result: 1 if the event was published, 0 if the part was seen before, -1 if
// there is no such record.
var replyScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'ra')
local state = f[1]
if state ~= 'sent' and state ~= 'replied' then return -1 end
if redis.call('HSETNX', KEYS[12], ARGV[4], ARGV[8]) == 0 then
  if redis.call('HGET', KEYS[12], ARGV[4]) == ARGV[8] then return 1 end
  return 0
end
redis.call('PEXPIRE', KEYS[12], ttl)
local event = ARGV[5]
if f[2] then event = ARGV[6] else redis.call('HSET', record, 'ra', ARGV[7]) end
redis.call('HSET', record, 'cv', ARGV[3])
enter(state, 'replied')
redis.call('XADD', KEYS[11], 'MINID', '~', int(now - ttl), '*', 'event', event)
return 1
`)
