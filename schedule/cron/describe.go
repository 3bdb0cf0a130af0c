package cron

// Describe says in words when the schedule fires, such as "at 02:30 every day".
func (s *Schedule) Describe() string { return s.text }
