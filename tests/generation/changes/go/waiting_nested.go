package main

import "sync"

func init() {
	cases["waiting_nested"] = func() {
		var wg sync.WaitGroup
		done := make(chan int, 2)
		wg.Add(1)
		go func() {
			wg.Add(1)
			go func() {
				defer wg.Done()
				done <- 1
			}()
			wg.Done()
		}()
		wg.Wait()
		show(<-done)
	}
}
