"""Mail to customers."""

SENT = []


def notify_customer(address, text):
    """Send a mail to a customer."""
    SENT.append((address, text))


def send_mail(address, text):
    """Send a mail to a customer: the old name of `notify_customer`."""
    notify_customer(address, text)
