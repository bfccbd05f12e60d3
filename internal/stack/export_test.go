package stack

// FailFake takes the fake Intercom's listener away.
func (s *Stack) FailFake() { _ = s.fakeLn.Close() }
