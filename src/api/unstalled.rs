//! Owns the end of connections whose other side takes nothing any more: a write that waits too long fails, and the
//! connection with it. Whatever is taken, be it a little, gives it the whole time again.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Sleep, sleep};

/// A connection that is cut off when a write stalls.
#[derive(Debug)]
pub(crate) struct Unstalled<I> {
    io: I,
    most: Duration,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<I> Unstalled<I> {
    /// Lets writes wait for `most`.
    pub(crate) fn new(io: I, most: Duration) -> Self {
        Self { io, most, patience: None }
    }

    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let most = self.most;
        ready!(self.patience.get_or_insert_with(|| Box::pin(sleep(most))).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing any more")))
    }
}

impl<I: Read + Unpin> Read for Unstalled<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: Write + Unpin> Write for Unstalled<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(context);
        self.bounded(context, shut)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.bounded(context, written)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn write(io: &mut Unstalled<TokioIo<tokio::io::DuplexStream>>) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *io).poll_write(context, b"12345678")).await
    }

    #[tokio::test]
    async fn who_takes_nothing_is_cut_off_and_who_takes_little_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut io = Unstalled::new(TokioIo::new(ours), Duration::from_millis(400));
        assert_eq!(write(&mut io).await.unwrap(), 8);
        for _ in 0..4 {
            // Less than the patience each time, and more than it together.
            let take = async {
                sleep(Duration::from_millis(150)).await;
                theirs.read_u8().await
            };
            let (written, taken) = tokio::join!(write(&mut io), take);
            assert_eq!((written.unwrap(), taken.is_ok()), (1, true));
        }
        assert_eq!(write(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
