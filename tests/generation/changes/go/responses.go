package main

import (
	"io"
	"net/http"
	"net/http/httptest"
)

func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != 200 {
		return resp.Status, nil
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func init() {
	cases["responses"] = func() {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("hello"))
		}))
		show(fetch(server.URL))
		server.CloseClientConnections()
	}
}
