cpdef object step(object coroutine, object context)
