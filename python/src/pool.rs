//! Threads, interrupts and panics: what a Python process does with a library that none of its own code expects.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A pool and the process whose threads it has.
struct Own {
    process: u32,
    pool: Arc<ThreadPool>,
}

static CURRENT: AtomicPtr<Own> = AtomicPtr::new(std::ptr::null_mut());

/// The thread pool of this process. A forked child has no threads but the one that forked, so that it makes a pool of
/// its own; that of its parent, whose threads are elsewhere, is left alone.
pub fn pool() -> PyResult<Arc<ThreadPool>> {
    let process = std::process::id();
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: pools are never freed, so that one that was seen stays there.
    if let Some(own) = unsafe { current.as_ref() }
        && own.process == process
    {
        return Ok(own.pool.clone());
    }
    let pool = ThreadPoolBuilder::new().thread_name(|i| format!("isacbench-{i}")).build();
    let pool = Arc::new(pool.map_err(|e| PyRuntimeError::new_err(format!("threads: {e}")))?);
    let own = Box::into_raw(Box::new(Own { process, pool: pool.clone() }));
    // Of two threads that come here at once, the second keeps what the first has put there.
    match CURRENT.compare_exchange(current, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(pool),
        // SAFETY: what stands there instead was put there by such a thread; ours has been seen by nobody.
        Err(other) => unsafe {
            drop(Box::from_raw(own));
            Ok((*other).pool.clone())
        },
    }
}

/// That a job ends because its caller was interrupted.
struct Interrupted;

/// Ends the job that this thread works on, if `stop` says so.
pub fn check(stop: &AtomicBool) {
    if stop.load(Ordering::Relaxed) {
        resume_unwind(Box::new(Interrupted));
    }
}

/// A panic as an exception that `except Exception` catches.
fn fault(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    PyRuntimeError::new_err(format!("isacbench failed, which is a fault of its own: {text}"))
}

/// `work` without the interpreter's lock, in the pool.
pub fn detached<T: Send>(py: Python, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let pool = pool()?;
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(|| pool.install(work))));
    done.map_err(|panic| fault(&*panic))
}

/// `work` without the interpreter's lock, in this thread.
pub fn at_once<T: Send>(py: Python, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| fault(&*panic))
}

/// Long work in the pool; the interpreter is asked for signals meanwhile, and an interrupt sets `stop`, at which the
/// work is to end by [`check`].
pub fn interruptible<T: Send>(py: Python, stop: &AtomicBool, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let pool = pool()?;
    let (told, answer) = sync_channel(1);
    let answer = Mutex::new(answer);
    std::thread::scope(|scope| {
        let run = || catch_unwind(AssertUnwindSafe(|| pool.install(work)));
        // Nobody listens any more only where the interpreter itself has failed.
        scope.spawn(move || drop(told.send(run())));
        let mut interrupt = None;
        loop {
            let next = py.detach(|| {
                let answer = answer.lock().unwrap_or_else(|broken| broken.into_inner());
                answer.recv_timeout(Duration::from_millis(50))
            });
            match next {
                Ok(Ok(value)) => return interrupt.map_or(Ok(value), Err),
                Ok(Err(panic)) if panic.is::<Interrupted>() => {
                    return Err(interrupt.unwrap_or_else(|| PyRuntimeError::new_err("interrupted")));
                }
                Ok(Err(panic)) => return Err(fault(&*panic)),
                Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("a job was lost")),
                Err(RecvTimeoutError::Timeout) => {
                    if interrupt.is_none()
                        && let Err(e) = py.check_signals()
                    {
                        stop.store(true, Ordering::Relaxed);
                        interrupt = Some(e);
                    }
                }
            }
        }
    })
}
