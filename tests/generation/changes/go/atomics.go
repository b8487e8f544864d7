package main

import "sync/atomic"

func init() {
	cases["atomics"] = func() {
		var n, m int64
		n = atomic.AddInt64(&n, 2)
		m = atomic.AddInt64(&n, 3)
		if true {
			n := atomic.AddInt64(&n, 1)
			show(n)
		}
		show(n, m)
	}
}
