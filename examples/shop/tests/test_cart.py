"""Tests of the cart."""

import unittest

from shop import cart, mail


class CartTest(unittest.TestCase):
    """The cart, as a customer uses it."""

    def test_total_with_and_without_discount(self):
        """A discount lowers the price."""
        items = cart.add({"price": 10}, [])
        self.assertEqual(cart.total(items), 10)
        self.assertEqual(cart.total(items, discount=3), 7)

    def test_an_order_is_confirmed_by_mail(self):
        """The customer gets one mail."""
        cart.order([{"price": 5}], "ada@example.com")
        self.assertEqual(mail.SENT[-1], ("ada@example.com", "1 items for 5"))
