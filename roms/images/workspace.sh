# Sourced by the recipes: enters the folder where images are built, out/images of the project
# unless RINGMINUS_IMAGES names another. Packages, intermediate files and results live there.
IMAGES=${RINGMINUS_IMAGES:-$here/../../out/images}
mkdir -p "$IMAGES"
cd "$IMAGES"
