package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

func signed(key, message, sum []byte, text string) (bool, bool, bool) {
	h := hmac.New(sha256.New, key)
	h.Write(bytes.TrimSpace(message))
	actual := h.Sum(nil)
	printed := hex.EncodeToString(actual)
	return bytes.Equal(actual, sum), printed == text, text != printed
}

func init() {
	cases["macs"] = func() {
		show(signed([]byte("k"), []byte("m"), nil, ""))
		h := hmac.New(sha256.New, []byte("k"))
		h.Write([]byte("m"))
		show(signed([]byte("k"), []byte("m"), h.Sum(nil), hex.EncodeToString(h.Sum(nil))))
	}
}
