package ledger

// State is where a message stands.
type State string

// The states of a message. No transition leads from Sent or Replied to a
// state that could send again.
const (
	// Queued messages are pending or scheduled in asynq and have no record.
	Queued State = "queued"
	// Sending is set by Begin before an attempt's request leaves.
	Sending State = "sending"
	// Waiting messages were not created by their last attempt and have a time
	// for the next.
	Waiting State = "waiting"
	// Sent messages exist in Intercom, whose id for them may be unknown.
	Sent State = "sent"
	// Replied messages were sent and answered by a contact.
	Replied State = "replied"
	// Failed messages were refused by Intercom or given up.
	Failed State = "failed"
	// Uncertain messages had an attempt that may have created them.
	Uncertain State = "uncertain"
	// Held messages were uncertain, and a person has to decide about them.
	Held State = "held"
	// Expired messages were not sent before their time was over.
	Expired State = "expired"
	// Cancelled messages were taken back before they were sent.
	Cancelled State = "cancelled"
)

// Listed are the states that [Ledger.List] can list: those that may need a
// person. Of Sent these are the messages whose id is not known.
func Listed() []State {
	return []State{Waiting, Failed, Uncertain, Held, Expired, Cancelled, Sent}
}

// Policy says what happens after an attempt of which nobody can tell whether
// it created the message.
type Policy string

const (
	// Resend sends again: the message arrives at least once.
	Resend Policy = "resend"
	// Hold keeps the message until a person has decided: it arrives at most
	// once.
	Hold Policy = "hold"
)
