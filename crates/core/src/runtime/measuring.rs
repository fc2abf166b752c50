//! What a runtime is, in figures.

use super::Runtime;
use crate::{
    error::Error,
    figures::{Figure, FigureUnit, FigureValue, gauge},
};

impl Runtime {
    /// What the runtime has done since its start, and what its workers and its store are now: sums over all workers. Soon
    /// after the start it waits until all workers of earlier lives have been counted.
    ///
    /// # Errors
    ///
    /// When they could not be counted, or the store cannot be measured.
    pub async fn figures(&self) -> Result<Vec<Figure>, Error> {
        tokio::select! {
            biased;
            whole = self.0.board.is_whole() => whole.map_err(Error::Store)?,
            () = self.draining() => return Err(self.check_running().err().unwrap_or(Error::Draining)),
        }
        let mut figures = self.0.figures.read();
        let number = |n: f64| vec![(Vec::new(), FigureValue::Number(n))];
        let approvals = self.0.board.n_approvals() as f64;
        figures.push(gauge("approvals_pending", "Approvals and questions that are open", number(approvals)));
        if let Some(bytes) = self.0.store.bytes().await? {
            let figure = gauge("store", "What the store takes on its disk", number(bytes as f64));
            figures.push(Figure { unit: Some(FigureUnit::Bytes), ..figure });
        }
        Ok(figures)
    }
}
