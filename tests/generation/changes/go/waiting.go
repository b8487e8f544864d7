package main

import "sync"

func init() {
	cases["waiting"] = func() {
		var wg sync.WaitGroup
		results := make([]int, 3)
		for i := range results {
			wg.Add(1)
			go func(i int) {
				defer wg.Done()
				results[i] = i
			}(i)
		}
		wg.Wait()
		show(results)
	}
}
