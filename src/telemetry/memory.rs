//! Resident memory of processes, as Linux tells it.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Unit,
};

/// Reads it when it is asked for; where there is no `/proc` the family is left out.
#[derive(Debug)]
pub struct ResidentMemory;

impl Collector for ResidentMemory {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(bytes) = resident_bytes("self") else { return Ok(()) };
        let gauge = ConstGauge::new(bytes);
        let unit = Some(&Unit::Bytes);
        let help = "Resident memory of the process";
        let metric: MetricEncoder =
            encoder.encode_descriptor("process_resident_memory", help, unit, MetricType::Gauge)?;
        gauge.encode(metric)
    }
}

/// Of `self`, or of a process by its number. The kernel's own figure in kB: no page size to know.
pub fn resident_bytes(process: &str) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}
