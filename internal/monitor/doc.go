// Package monitor serves asynqmon, the web UI of asynq, without showing what
// messages say. Operators see queues, task ids, keys, times and errors, and may
// run, archive and delete tasks. Texts, names and addresses of people are
// replaced by their size.
//
// The UI has no login: whoever reaches its address may use it. What is done
// here is for a browser inside that network that visits a hostile page: actions
// are refused to other sites, names that another site could point at this
// address are refused (DNS rebinding), and the pages cannot be framed.
package monitor
