//! Each read model equals its rebuild.

use crate::world::World;

pub(super) async fn check(world: &World) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for projection in projections::all() {
        let (code, said) = world.command(&["projections", "verify", projection.name()]).await?;
        if code != 0 {
            wrong.push(format!("{} differs from its rebuild ({code}): {said}", projection.name()));
        }
    }
    Ok(wrong)
}
