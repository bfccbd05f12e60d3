package ledger

import "github.com/redis/go-redis/v9"

// commitSentScript records that a message exists. It is never refused: an
// attempt whose worker was thought dead may have created the message after
// all, and then nothing else matters.
//
//	KEYS[11..12] the message id's buckets (unused if ARGV[6] is empty)
//	KEYS[13]     the messages whose replies are polled
//	KEYS[14]     there while somebody polls
//	KEYS[15]     the notifications that wait for the message id
//	ARGV[3..5]   as createFunc, for a record that Redis has lost
//	ARGV[6]      message id, may be empty
//	ARGV[7]      conversation id, may be empty
//	ARGV[8]      the message's key, packed
//	ARGV[9]      error (JSON), may be empty
//	ARGV[10]     the task's payload, kept to find a message whose id is unknown
//
// Result: the key, packed, that the message id was known to belong to, if
// another, else empty, behind parkedMark if notifications wait for the message id.
var commitSentScript = redis.NewScript(prelude + createFunc + indexFunc + pollFunc + identifyFunc + `
local state = redis.call('HGET', record, 's')
if not state then create() end
if ARGV[6] == '' then
  if state == 'sent' or state == 'replied' then return '' end
  redis.call('HDEL', record, 't', 'u', 'w', 'na', 'cs', 'ct', 'f', 'fs', 'nx')
  redis.call('HSET', record, 'sa', int(now), 'er', ARGV[9])
  unsettle(ARGV[10])
  list(unidentified)
  enter(state, 'sent')
  return ''
end
local other = identify(state)
local parked = redis.call('EXISTS', KEYS[15]) == 1 and '\2' or ''
if other and other ~= ARGV[8] then return parked .. other end
return parked
`)

// identifyFunc records the id of a message that exists, and returns the key,
// packed, that it was known to belong to: KEYS[11..14] and ARGV[6..8] as in
// commitSentScript.
const identifyFunc = `
local function identify(state)
  local f = redis.call('HMGET', record, 'id', 'pd', 'a', 'z')
  local known = f[1]
  local was = index(KEYS[11], KEYS[12], ARGV[6], ARGV[8])
  if was ~= ARGV[8] and redis.call('EXISTS', KEYS[14]) == 1 then poll(KEYS[13], ARGV[6]) end
  redis.call('ZREM', unidentified, id)
  if known and known ~= ARGV[6] then
    -- A second copy was created: replies to either are matched.
    redis.call('HSET', record, 'pd', '1')
    return was
  end
  redis.call('HSET', record, 'id', ARGV[6])
  if ARGV[7] ~= '' then redis.call('HSET', record, 'cv', ARGV[7]) end
  -- Of a message that was sent again there may be one more copy to find.
  if f[2] ~= '1' then settled() end
  redis.call('HDEL', record, 't', 'u', 'w', 'b', 'na', 'cs', 'ct', 'f', 'fs', 'er', 'nx')
  if state == 'sent' or state == 'replied' then return was end
  redis.call('HSET', record, 'sa', int(now))
  -- No number of attempts is read as one.
  if f[4] and f[3] == '1' then redis.call('HDEL', record, 'a')
  elseif f[4] and not f[3] then redis.call('HSET', record, 'a', '0') end
  enter(state, 'sent')
  return was
end
`

// settleScript records that a message was found in Intercom.
//
//	KEYS[11..14] as in commitSentScript
//	KEYS[15]     the index entry of the message id, of an earlier version
//	ARGV[3]      '1': found by search or in a notification, and only taken for
//	             this message if no other has this id
//	ARGV[6..8]   as in commitSentScript
//
// Result: {verdict, state or the other message's key, packed}.
var settleScript = redis.NewScript(prelude + indexFunc + pollFunc + identifyFunc + `
local state = redis.call('HGET', record, 's')
if not state then return {'gone', ''} end
local other = owner(redis.call('HGET', KEYS[11], ARGV[6])) or owner(redis.call('HGET', KEYS[12], ARGV[6]))
if not other then
  other = redis.call('GET', KEYS[15])
  if other == id then other = ARGV[8] end
end
if other and other ~= ARGV[8] then return {'taken', other} end
local sent = state == 'sent' or state == 'replied'
if other and sent then return {'settled', state} end
if ARGV[3] == '1' then
  if redis.call('HEXISTS', record, 'us') == 0 then return {'refused', state} end
elseif state == 'sending' or state == 'waiting' or sent and redis.call('HEXISTS', record, 'id') == 1 then
  return {'refused', state}
end
identify(state)
return {'settled', redis.call('HGET', record, 's')}
`)

// commitScript leaves Sending for a state other than Sent.
//
//	ARGV[3]  token of the attempt
//	ARGV[4]  the state to enter
//	ARGV[5]  error (JSON)
//	ARGV[6]  next attempt at, ms, 0 for none
//	ARGV[7]  contact missing since, ms, 0 for not
//	ARGV[8]  contact tries
//	ARGV[9]  failures
//	ARGV[10] failing since, ms, 0 for not
//	ARGV[11] the task's payload, kept in case that asynq loses the task
//	KEYS[11], KEYS[12...] and ARGV[12..13] as noteContactFunc
//
// Result: {1 if committed, else 0, state}.
var commitScript = redis.NewScript(prelude + noteContactFunc + `
local f = redis.call('HMGET', record, 's', 't', 'un', 'a', 'b')
local state, to = f[1], ARGV[4]
if f[2] ~= ARGV[3] then return {0, state or ''} end
if state == to then return {1, state} end
-- An attempt that was given up for dead may still say what it did.
if state ~= 'sending' and state ~= 'uncertain' then return {0, state or ''} end
redis.call('HSET', record, 'er', ARGV[5])
local function put(name, value)
  if value == '0' or value == '' then redis.call('HDEL', record, name)
  else redis.call('HSET', record, name, value) end
end
put('na', ARGV[6]); put('cs', ARGV[7]); put('ct', ARGV[8]); put('f', ARGV[9]); put('fs', ARGV[10])
redis.call('HDEL', record, 'w')
if to == 'uncertain' then
  unsettle(ARGV[11])
else
  -- No earlier attempt than this one was unsettled.
  if f[3] and f[3] == f[4] then settled() end
  redis.call('HSET', record, 'p', ARGV[11])
end
noteContact(to, tonumber(f[5] or now))
enter(state, to)
return {1, to}
`)

// abandonScript leaves Sending where nothing was sent: for Waiting, or for
// Uncertain if an attempt before may have created the message. All counts stay.
//
//	ARGV[3] token of the attempt
//	ARGV[4] the number of the uncertain attempt that it was to repeat, or empty
//
// Result: 1 if the attempt was under way, else 0.
var abandonScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't')
if f[1] ~= 'sending' or f[2] ~= ARGV[3] then return 0 end
redis.call('HDEL', record, 'w')
-- The attempt that it was to repeat may have said since what it did.
local doubt = ARGV[4] ~= '' and redis.call('HEXISTS', record, 'us') == 1
enter('sending', doubt and 'uncertain' or 'waiting')
return 1
`)

// lookAgainScript notes when an uncertain message will be looked for again.
//
//	ARGV[3] attempts: the number of the attempt that is being settled
//	ARGV[4] next look at, ms
//
// Result: the state that stands.
var lookAgainScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'a')
if f[1] == 'uncertain' and f[2] == ARGV[3] then redis.call('HSET', record, 'na', ARGV[4]) end
return f[1] or ''
`)
