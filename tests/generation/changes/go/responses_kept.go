package main

import (
	"io"
	"net/http"
	"net/http/httptest"
)

func body(url string) (io.ReadCloser, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	stream := resp.Body
	return stream, nil
}

func init() {
	cases["responses_kept"] = func() {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("kept"))
		}))
		defer server.Close()
		stream, _ := body(server.URL)
		defer stream.Close()
		b, err := io.ReadAll(stream)
		show(string(b), err)
	}
}
