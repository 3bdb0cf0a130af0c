package transporttest

func modelTests() []test { return nil }
