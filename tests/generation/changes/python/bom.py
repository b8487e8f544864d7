class A(object):
    def f(self, x=[]):
        return x == None
