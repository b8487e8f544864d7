package main

type clock int

func (c clock) Now() clock      { return 5 }
func (c clock) Sub(o clock) int { return int(c - o) }

func init() {
	cases["since_own"] = func() {
		var time clock
		show(time.Now().Sub(2))
	}
}
